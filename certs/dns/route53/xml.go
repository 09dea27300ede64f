package route53

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"strings"
)

// What follows is the API's XML, of version 2013-04-01.

type recordSet struct {
	Name    string
	Type    string
	TTL     int
	Records []record `xml:"ResourceRecords>ResourceRecord"`
}

type record struct{ Value string }

// values are none if there is no record.
func (r *recordSet) values() (all []string) {
	if r == nil {
		return nil
	}
	for _, one := range r.Records {
		all = append(all, one.Value)
	}
	return all
}

func records(values []string) (all []record) {
	for _, v := range values {
		all = append(all, record{v})
	}
	return all
}

type changeRequest struct {
	XMLName     xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
	ChangeBatch changeBatch
}

type changeBatch struct {
	Comment string
	Changes struct{ Change []change }
}

type change struct {
	Action            string
	ResourceRecordSet recordSet
}

type changeInfo struct {
	ID     string `xml:"Id"`
	Status string
}

// parseError reads either form of errors: most have ErrorResponse around them, and a change
// that is refused may have its own name, with several messages.
func parseError(status int, data []byte) *Error {
	var answer struct {
		XMLName  xml.Name
		Code     string   `xml:"Error>Code"`
		Message  string   `xml:"Error>Message"`
		Messages []string `xml:"Messages>Message"`
	}
	e := &Error{Status: status, Code: "no code", Message: http.StatusText(status)}
	if xml.Unmarshal(data, &answer) != nil {
		return e
	}
	e.Code, e.Message = answer.Code, answer.Message
	if e.Code == "" {
		e.Code, e.Message = answer.XMLName.Local, strings.Join(answer.Messages, "; ")
	}
	e.Message = cmp.Or(e.Message, http.StatusText(status))
	return e
}
