package main

import "testing"

func TestPacketID(t *testing.T) {
	header := attribute(attributePacketHeader, []byte{0, 0, 1, 2, 8, 0, 0})
	other := attribute(9, []byte("odd"))
	general := []byte{2, 0, 0, 77}
	message := append(append(append([]byte{}, general...), other...), header...)
	if id, ok := packetID(message); !ok || id != 0x102 {
		t.Errorf("packetID = %#x %v, want 0x102", id, ok)
	}
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"no header":        append(append([]byte{}, general...), other...),
		"cut short":        message[:len(message)-6],
		"length of zero":   {2, 0, 0, 77, 0, 0, 1, 0},
		"length too great": {2, 0, 0, 77, 255, 0, 1, 0},
	} {
		if id, ok := packetID(data); ok {
			t.Errorf("%s: packetID = %d", name, id)
		}
	}
}
