// Package mistakes holds what Portway says about the mistakes that users make most: one
// file in testdata for each, with what each way of asking answers. See TestCases. Those
// that are numbered 17 (storage read-only) and 19 (old engine) are for the doctor alone.
package mistakes
