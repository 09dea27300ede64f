package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"strings"

	"rsc.io/qr"
)

// ProfileType is the media type by which iOS and macOS know a Profile.
const ProfileType = "application/x-apple-aspen-config"

// Profile is a configuration profile (.mobileconfig) with roots, for iOS and macOS. The
// same roots make the same profile, so that one that is installed again takes the place of
// the one that is there.
func Profile(roots []*x509.Certificate) []byte {
	all := sha256.New()
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadContent</key>
	<array>
`)
	for _, root := range roots {
		sum := sha256.Sum256(root.Raw)
		_, _ = all.Write(sum[:])
		b.WriteString("\t\t<dict>\n")
		text(&b, "\t\t\t", "PayloadType", "com.apple.security.root")
		text(&b, "\t\t\t", "PayloadIdentifier", "portway.ca."+hex.EncodeToString(sum[:8]))
		text(&b, "\t\t\t", "PayloadUUID", uuid(sum))
		text(&b, "\t\t\t", "PayloadDisplayName", root.Subject.CommonName)
		text(&b, "\t\t\t", "PayloadCertificateFileName", name(root)+".crt")
		b.WriteString("\t\t\t<key>PayloadVersion</key>\n\t\t\t<integer>1</integer>\n")
		b.WriteString("\t\t\t<key>PayloadContent</key>\n\t\t\t<data>" + base64.StdEncoding.EncodeToString(root.Raw) + "</data>\n\t\t</dict>\n")
	}
	b.WriteString("\t</array>\n")
	sum := [32]byte(all.Sum(nil))
	text(&b, "\t", "PayloadType", "Configuration")
	text(&b, "\t", "PayloadIdentifier", "portway.ca")
	text(&b, "\t", "PayloadUUID", uuid(sum))
	text(&b, "\t", "PayloadDisplayName", "Portway internal CA")
	text(&b, "\t", "PayloadDescription", "Lets this device open the private sites of a Portway without a warning. Afterwards, switch the certificate on in Settings, General, About, Certificate Trust Settings.")
	b.WriteString("\t<key>PayloadVersion</key>\n\t<integer>1</integer>\n</dict>\n</plist>\n")
	return []byte(b.String())
}

func text(b *strings.Builder, indent, key, value string) {
	b.WriteString(indent + "<key>" + key + "</key>\n" + indent + "<string>")
	_ = xml.EscapeText(b, []byte(value)) // a Builder takes everything
	b.WriteString("</string>\n")
}

// uuid makes a UUID of a hash (RFC 9562 section 5.8).
func uuid(sum [32]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	s := strings.ToUpper(hex.EncodeToString(sum[:16]))
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// QR draws text as a QR code for a terminal, two rows of it a line: white on black, by
// colours if there are some, since it is not known which of the two the terminal is.
func QR(content string, colours bool) (string, error) {
	code, err := qr.Encode(content, qr.M)
	if err != nil {
		return "", err
	}
	const quiet = 4                                           // white modules around it (ISO 18004)
	white := func(x, y int) bool { return !code.Black(x, y) } // also outside
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		if colours {
			b.WriteString("\x1b[40;97m")
		}
		for x := -quiet; x < code.Size+quiet; x++ {
			switch upper, lower := white(x, y), white(x, y+1); {
			case upper && lower:
				b.WriteString("█")
			case upper:
				b.WriteString("▀")
			case lower:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		if colours {
			b.WriteString("\x1b[0m")
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}
