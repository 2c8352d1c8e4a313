"""Who may do what: tenants, keys and limits as operators set them, and how every worker learns of a change."""
