"""What block designs, and pynq, call the accelerator."""

__all__ = ["MODULE", "MODULE_VLNV", "PACKAGED_VLNV"]

#: Verilog module that a block design instantiates.
MODULE = "weft_accelerator"
#: What Vivado calls a module reference, and what a packaged IP of the same module would be called.
MODULE_VLNV = f"xilinx.com:module_ref:{MODULE}:1.0"
PACKAGED_VLNV = f"weft:weft:{MODULE}:1.0"
