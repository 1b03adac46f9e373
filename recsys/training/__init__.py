"""The learned interest encoder: sequences, network, loss and training loop; torch, no Ray."""
