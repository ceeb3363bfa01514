"""The settings of middleware: one class for each type, and how they are named, read and put to use."""
