"""`python3 /usr/lib/ccvm`: the guest agent, as /etc/inittab starts it."""

from agent.main import main  # type: ignore[import-not-found]  # the directory is the path there

main()
