"""The decision API over gRPC, on the core that HTTP has: `service.api` decides, this package translates."""
