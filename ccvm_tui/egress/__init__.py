"""The guest's way out: the policy, the proxy that enforces it on the host, and the record of all attempts."""
