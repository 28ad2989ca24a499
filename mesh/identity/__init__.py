"""Who a node is and how others check it: keys, certificates, signatures, grants."""
