"""The composition root: settings, bindings of ports, supervisor, demo. It may import all; nothing imports it."""
