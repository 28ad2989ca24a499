"""The daemon: configuration, hardware, wiring, gateway, console and command line."""
