"""The ranking model: named features on top of the encoder's score, calibrated, and adaptable."""
