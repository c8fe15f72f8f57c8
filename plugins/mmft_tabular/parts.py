"""What other plugins build networks for rows of tables of; `mmft_tabular.options` has options."""

from mmft_tabular.backbones import Block, Tabular, Tokens, columns_of
from mmft_tabular.columns import Cells, Columns
from mmft_tabular.processing import TabularProcessor

__all__ = ["Block", "Cells", "Columns", "Tabular", "TabularProcessor", "Tokens", "columns_of"]
