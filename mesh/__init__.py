"""The neutral floor: vocabulary, wire format, identity, links, storage, lifecycle."""
