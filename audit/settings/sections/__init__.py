"""The sections of a config file, one idea a module; `audit.settings.config` puts them together."""
