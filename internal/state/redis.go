package state

// RedisGroup is what the servers of one Redis said when they were asked. Who did not answer is not there.
type RedisGroup struct {
	// Members are the Redis servers, by the pod's name.
	Members map[string]RedisMember
	// Sentinels are those who watch them, by the pod's name.
	Sentinels map[string]RedisSentinel
}

// RedisMember is what a Redis server says of itself.
type RedisMember struct {
	// Master says that it takes writes; otherwise it is a replica.
	Master bool
	// InSync says of a replica that it follows its master at this time.
	InSync bool
	// Replicas is the number of replicas that follow a master.
	Replicas int32
	// Follows is the name that a replica has of its master.
	Follows string
	// LetsIn says of the app's passwords, by their keys, whether it lets the app in with them. They are tried
	// only while they are exchanged.
	LetsIn map[string]bool
	// Used and Limit are the memory that the data takes and may take, in bytes.
	Used, Limit int64
	// WriteFails says that its last write to the disk failed: a master refuses writes then. RewriteFails says that the
	// append-only file could not be made smaller, and grows on.
	WriteFails, RewriteFails bool
}

// RedisSentinel is what a Sentinel says.
type RedisSentinel struct {
	// Master is the name that it has of the master.
	Master string
	// Quorum says that enough Sentinels see each other to replace a lost master; Message is why not.
	Quorum  bool
	Message string
}
