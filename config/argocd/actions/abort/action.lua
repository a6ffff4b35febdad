-- Give the new revision up: the traffic goes back to the stable one.
local rollout = obj.status.rollout
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apps.scalableapp.dev/action"] =
  "abort:" .. rollout.candidate.revision .. ":" .. (rollout.attempt or 0)
return obj
