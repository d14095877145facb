"""The tests. `driving` runs decisions alone; everything stored or published runs on Google's emulators."""
