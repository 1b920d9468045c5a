"""Records of `__share_group_state`, generated from `schema/records`. Used by `coordinator.share_state` alone."""
