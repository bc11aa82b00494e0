"""A disposable QEMU microVM for every project, and one dashboard for all of them."""

__version__ = "0.1.0"
