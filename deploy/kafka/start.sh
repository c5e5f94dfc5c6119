#!/bin/bash
# Starts one secured broker, as docker-compose.yml runs it: the storage is formatted once, with the administrator's
# password (salted, never in the clear), and clients come in by TLS and as users that the ACLs allow something.
#
# KAFKA_ID and KAFKA_BROKERS say which of how many this is; KAFKA_HOSTS, KAFKA_DIRECTORY_IDS: one for each, by comma.
# KAFKA_KEY, KAFKA_CERTIFICATES, KAFKA_AUTHORITY are PEM with \n for the ends of lines, as Kafka's own files take it.
set -euo pipefail
umask 077

IFS=, read -ra hosts <<< "$KAFKA_HOSTS"
IFS=, read -ra directories <<< "$KAFKA_DIRECTORY_IDS"
host=${hosts[KAFKA_ID - 1]}
data=${KAFKA_DATA:-/var/lib/kafka/data}/log
private=$(mktemp -d)
configuration=$private/server.properties

quorum= controllers= administrators=User:admin
for ((id = 1; id <= KAFKA_BROKERS; id++)); do
  quorum+=${quorum:+,}${hosts[id - 1]}:9093
  controllers+=${controllers:+,}$id@${hosts[id - 1]}:9093:${directories[id - 1]}
  administrators+=";User:broker-$id"
done

cat > "$configuration" << END
process.roles=broker,controller
node.id=$KAFKA_ID
log.dirs=$data
listeners=CLIENT://$host:9092,BROKER://$host:9094,CONTROLLER://$host:9093
advertised.listeners=CLIENT://$host:9092,BROKER://$host:9094,CONTROLLER://$host:9093
listener.security.protocol.map=CLIENT:SASL_SSL,BROKER:SSL,CONTROLLER:SSL
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=$quorum
# Clients are known by a password, brokers by their certificates.
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.broker.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.key=$KAFKA_KEY
ssl.keystore.certificate.chain=$KAFKA_CERTIFICATES
ssl.truststore.type=PEM
ssl.truststore.certificates=$KAFKA_AUTHORITY
ssl.principal.mapping.rules=RULE:^CN=(broker-[0-9]+)\$/\$1/,DEFAULT
# Whatever no ACL allows is denied.
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=$administrators
# Topics come from schemas/topics and nowhere else.
auto.create.topics.enable=false
# Every topic has a copy on each broker, and a write waits for all but one of them.
default.replication.factor=$KAFKA_BROKERS
offsets.topic.replication.factor=$KAFKA_BROKERS
transaction.state.log.replication.factor=$KAFKA_BROKERS
transaction.state.log.min.isr=$((KAFKA_BROKERS > 1 ? KAFKA_BROKERS - 1 : 1))
share.coordinator.state.topic.replication.factor=$KAFKA_BROKERS
share.coordinator.state.topic.min.isr=$((KAFKA_BROKERS > 1 ? KAFKA_BROKERS - 1 : 1))
offsets.topic.num.partitions=8
# A broker that is gone is given up after three seconds, not nine: so long its partitions wait.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
END

java=(java ${KAFKA_JVM:--Xms256m -Xmx512m -XX:+ExitOnOutOfMemoryError} -Dlog4j2.level=WARN
  -cp "${KAFKA_CLASS_PATH:-/opt/kafka/libs/*}")

# meta.properties is the last file that formatting writes: one that was cut short is simply done again.
# What it is told stands in a file, where no list of processes shows it: it is as good as the password to a broker.
if [ ! -e "$data/meta.properties" ]; then
  printf "'%s'\n" kafka.tools.StorageTool format --ignore-formatted -c "$configuration" -t "$KAFKA_CLUSTER_ID" \
    --initial-controllers "$controllers" --add-scram "SCRAM-SHA-512=[$KAFKA_ADMINISTRATOR]" > "$private/format"
  "${java[@]}" "@$private/format" > /dev/null
  rm "$private/format"
fi
exec "${java[@]}" kafka.Kafka "$configuration"
