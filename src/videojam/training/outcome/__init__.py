"""What a run or a model is given away as: merged, with a card, proven to load, for the Hub or for ComfyUI."""
