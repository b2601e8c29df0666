"""What the studies behind the documentation's tables measure, one file each; simulations/ calls them."""
