.PHONY: proto
