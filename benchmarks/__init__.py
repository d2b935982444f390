"""Speed, shown as ratios to peers that solve the same objective in the same run on the same threads."""
