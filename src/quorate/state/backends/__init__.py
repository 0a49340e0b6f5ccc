"""Which stores can keep it? One file each; all pass the same contract suite."""
