"""The share coordinator: how far each share group has come in each partition, kept in `__share_group_state`."""
