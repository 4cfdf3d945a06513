"""The pipelines that ship in `videojam/tiny`: how they were built, trained and measured."""
