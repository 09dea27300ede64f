package lint

import "slices"

// Named gives the options that this package knows by name.
func Named() []string { return slices.Concat(protections, addressed, answering, folders) }
