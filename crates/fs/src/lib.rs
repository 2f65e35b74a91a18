//! The one seam to files: log, archives, audit and markers are written through it.
