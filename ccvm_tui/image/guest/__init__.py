"""Files that go into the guest. Nothing here runs on the host, except `agent.wire` and in tests."""
