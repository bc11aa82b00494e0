"""Files of the guest. On the host only ``agent.wire`` and tests import them."""
