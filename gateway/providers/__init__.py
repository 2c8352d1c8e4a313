"""The vendors' side: from `model` to a vendor's wire form and back."""
