"""What a model folder or hub id is: resolved, checked, loaded, described."""
