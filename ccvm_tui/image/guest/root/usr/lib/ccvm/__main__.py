"""The guest agent, which /etc/inittab starts as ``python3 /usr/lib/ccvm``."""

from agent.main import main  # type: ignore[import-not-found]  # in the guest, this directory is the import path

main()
