"""A whole cluster in one thread, on time, a network and disks that exist only here. See README.md."""
