// Package browsertest drives the dashboard, and Portway's error pages, in a real
// Chromium against a real Portway and a real engine: what a person sees, and whether it
// can be used by keyboard, on a phone, in the dark and with a screen reader.
//
// Every page that a test opens is watched from its first byte: what the browser
// complains of (console, exceptions, violated policies) and every request to another
// host than those which the test names fails the test. Screenshots of what it looked at
// are left in .artefacts/dashboard, which git ignores.
package browsertest
