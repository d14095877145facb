"""`make bench`: the system beside its floor on the same machine in the same minute, as ratios with bounds."""
