from .loaders import choose_workers as choose_workers
from .prepared import UNDECODABLE as UNDECODABLE
from .prepared import PreparedSample as PreparedSample
from .prepared import PreparedSplit as PreparedSplit
from .prepared import seed_everything as seed_everything
