"""The API operations of the local service, a family a file; `pipeline.local.service` puts them together."""
