"""SSH to the guest: keys that live for one guest in memory, and one connection over a virtio-serial port."""
