"""Data movement between DRAM and the on-chip memories; see :class:`weft_hw.dma.dma.Dma`."""
