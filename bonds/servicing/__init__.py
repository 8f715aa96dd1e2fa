"""The life of a series after issue: losses, recoveries, coupons, redemption."""
