"""A disposable QEMU microVM for every project, and one dashboard that runs them all."""

__version__ = "0.1.0"
