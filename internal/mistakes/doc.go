// Package mistakes holds what Portway says about the twenty mistakes that users make most:
// one file in testdata for each, with what each way of asking answers. See TestCases.
package mistakes
