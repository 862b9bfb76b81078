"""The conformance harness: everything between a Gherkin step and the programs under test."""
