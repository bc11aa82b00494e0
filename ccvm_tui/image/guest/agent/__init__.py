"""The guest agent: root's end of the control port. Runs under the guest's own Python with the standard library
only, and imports as little of it as it can: under emulation each module costs tens of milliseconds."""
