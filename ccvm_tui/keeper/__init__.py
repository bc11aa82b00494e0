"""The process that keeps one guest: it boots it, holds its sessions, and serves clients until it stops.

===============  ==========================================================================
``__main__``     entry point: reads the LaunchSpec, claims the guest, cuts all ties
``keeper``       Keeper: state, sessions, the one TaskGroup, the end
``boot``         from LaunchSpec to a guest that runs programs
``control``      the guest agent's port
``server``       the unix socket: who may connect, greeting, the four kinds of connection
``home``         the guest's place in the runtime directory
``requests``     what a control connection may ask
``record``       the log of events, and why a guest ended, for after it is gone
===============  ==========================================================================
"""
