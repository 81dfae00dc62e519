"""What the program serves: GraphQL, payload bodies, its health, and the pages around them."""
