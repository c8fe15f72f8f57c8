from .attach import KEPT as KEPT
from .attach import TrainingData as TrainingData
from .attach import attach_features as attach_features
from .attach import encoder_and_store as encoder_and_store
from .attach import features_of as features_of
from .store import FeatureStore as FeatureStore
