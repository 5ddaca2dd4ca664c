"""SMASH: one-shot model architecture search through hypernetworks (Brock et al., ICLR 2018), on PyTorch Lightning."""
