-- Try a revision again that has failed or was aborted.
local rollout = obj.status.rollout
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apps.scalableapp.dev/action"] =
  "retry:" .. rollout.candidate.revision .. ":" .. (rollout.attempt or 0)
return obj
