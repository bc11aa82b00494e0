"""SSH to the guest: keys, which exist only in memory, and a connection over a virtio-serial port."""
